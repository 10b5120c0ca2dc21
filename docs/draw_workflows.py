#!/usr/bin/env python3
"""Draws the example workflows as ComfyUI shows them after a run: example_workflows/NAME.jpg; and the editor itself with
a help page, and the list of the workflows: docs/comfyui_editor.jpg, docs/comfyui_templates.jpg.

    COMFYUI_PATH=... COMFYUI_VHS_PATH=... python docs/draw_workflows.py [NAME ...]

Boots the ComfyUI of COMFYUI_PATH as the tests in tests/rvm_nodes/real do (COMFYUI_PYTHON names its interpreter) and
looks at it with Chromium. Needs RVM_WEIGHTS (a MobileNetV3 file), `pip install playwright websocket-client`, and a
Chromium, found by itself or given as --chromium. Also compares what the editor would queue with what
tests/rvm_nodes/workflow_graph.py makes of the workflow.
"""

import argparse
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "patience")]

from tests.rvm_nodes.real.comfy_client import ComfyClient  # noqa: E402
from tests.rvm_nodes.real.comfy_server import PACK, ComfyServer, Installation, make_base  # noqa: E402
from tests.rvm_nodes.real.sample_inputs import write_inputs  # noqa: E402
from tests.rvm_nodes.workflow_graph import to_prompt  # noqa: E402

WORKFLOWS = ROOT / "example_workflows"
WEIGHTS = ROOT.parent / "shared" / "reference" / "weights" / "rvm_mobilenetv3_int8.safetensors"
WIDTH = 1200  # pixels of the pictures
QUALITY = 88
SIDEBAR, PANEL = 60, 320  # pixels of the window that the sidebar and the help page cover
MARGIN = 40  # around the graph, in its own units
# The editor as someone has it who has used it before, without its own panels over the graph.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.InstalledVersion": "99.0.0",
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Queue.QPOV2": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Release.Status": "skipped",
    "Comfy.UseNewMenu": "Top",
    "Comfy.Workflow.Persist": False,
    "Comfy.Validation.Workflows": True,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "VHS.AdvancedPreviews": "Never",
}
FIT = """([margin, coveredLeft, coveredRight]) => {
  const graph = app.canvas.graph, boxes = []
  for (const node of graph._nodes) boxes.push([node.pos[0], node.pos[1] - 30, node.size[0], node.size[1] + 30])
  for (const group of graph._groups) boxes.push([...group.pos, ...group.size])
  const left = Math.min(...boxes.map(b => b[0])) - margin, top = Math.min(...boxes.map(b => b[1])) - margin
  const right = Math.max(...boxes.map(b => b[0] + b[2])) + margin
  const bottom = Math.max(...boxes.map(b => b[1] + b[3])) + margin
  const place = document.querySelector('#graph-canvas').getBoundingClientRect()
  const ds = app.canvas.ds
  const width = place.width - coveredLeft - coveredRight
  ds.scale = Math.min(width / (right - left), place.height / (bottom - top))
  ds.offset[0] = -left + coveredLeft / ds.scale + (width / ds.scale - (right - left)) / 2
  ds.offset[1] = -top + (place.height / ds.scale - (bottom - top)) / 2
  app.canvas.setDirty(true, true)
  return {graph: [right - left, bottom - top], canvas: [place.x, place.y, place.width, place.height]}
}"""
# Panels and dialogs belong to the editor, not to the graph; what nodes show (videos, texts) lies over the canvas.
HIDE = """body * { visibility: hidden !important }
#graph-canvas, .dom-widget, .dom-widget * { visibility: visible !important }"""


def main() -> int:
    arguments = parse()
    installation = Installation.from_environment()
    if installation is None:
        print("Set COMFYUI_PATH to a ComfyUI checkout.", file=sys.stderr)
        return 1
    names = arguments.names or sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    base = Path(tempfile.mkdtemp(prefix="rvm_draw_"))
    try:
        make_base(base, installation, Path(os.environ.get("RVM_WEIGHTS") or WEIGHTS))
        write_inputs(base / "input")
        write_settings(base)
        with ComfyServer(installation, base) as server, sync_playwright() as playwright:
            client = ComfyClient(server.url)
            browser = playwright.chromium.launch(
                executable_path=arguments.chromium or shutil.which("chromium") or shutil.which("google-chrome"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"],
            )
            page = open_editor(browser, server.url)
            page.add_style_tag(content=HIDE)
            for name in names:
                draw(page, client, name, arguments)
            if not arguments.names:
                page = open_editor(browser, server.url)
                draw_editor(page, client, arguments.docs / "comfyui_editor.jpg")
                draw_templates(page, arguments.docs / "comfyui_templates.jpg")
            browser.close()
            client.close()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draws the example workflows in a real ComfyUI.")
    parser.add_argument("names", nargs="*", help="only these workflows, and not the editor")
    parser.add_argument("--chromium", help="the browser's executable")
    parser.add_argument("--thumbnails", type=Path, default=WORKFLOWS, help="folder for NAME.jpg")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder for comfyui_*.jpg")
    parser.add_argument("--no-run", action="store_true", help="draw without running the graphs")
    return parser.parse_args()


def write_settings(base: Path) -> None:
    folder = base / "user" / "default"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comfy.settings.json").write_text(json.dumps(SETTINGS), encoding="utf-8")


def open_editor(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 1600, "height": 1000}, device_scale_factor=1.5)
    page.goto(url)
    page.wait_for_function("!!(window.app?.canvas?.graph && LiteGraph.registered_node_types.RVMMatte)", timeout=120_000)
    page.wait_for_selector("#graph-canvas")
    page.wait_for_timeout(2000)  # dialogs that open by themselves
    page.keyboard.press("Escape")
    return page


def draw(page: Page, client: ComfyClient, name: str, arguments: argparse.Namespace) -> None:
    compare(page, client, name, open_workflow(page, name))
    if not arguments.no_run:
        run(page, client)
    fit(page)
    keep(screenshot(page, "#graph-canvas"), arguments.thumbnails / f"{name}.jpg")


def draw_editor(page: Page, client: ComfyClient, place: Path) -> None:
    """The workflow that one begins with, as it is when its result is there, and the help page of its main node."""
    name, node_type = "portrait_cut_out_to_prores", "RVMSaveAlphaVideo"
    open_workflow(page, name)
    run(page, client)
    page.evaluate(FIT, [MARGIN, SIDEBAR, PANEL])
    page.wait_for_timeout(500)
    page.evaluate("type => app.canvas.selectNode(app.canvas.graph._nodes.find(node => node.type === type))", node_type)
    page.wait_for_selector("[data-testid=info-button]", state="attached")
    page.evaluate("document.querySelector('[data-testid=info-button]').click()")
    page.wait_for_timeout(3000)
    keep(screenshot(page, "body"), place)


def draw_templates(page: Page, place: Path) -> None:
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.wait_for_timeout(4000)
    page.evaluate("""pack => [...document.querySelectorAll('[role=dialog] *')]
        .filter(part => part.children.length === 0 && part.textContent.trim() === pack)
        .forEach(part => { part.scrollIntoView(); part.click() })""", PACK)  # fmt: skip
    page.wait_for_timeout(4000)
    keep(screenshot(page, "[role=dialog]"), place)


def compare(page: Page, client: ComfyClient, name: str, workflow: dict) -> None:
    """The editor's own idea of the graph against the converter's: the same nodes, links and values."""
    theirs = page.evaluate("app.graphToPrompt().then(result => result.output)")
    ours = to_prompt(workflow, client.object_info())
    for prompt in (theirs, ours):
        for node in prompt.values():
            node.pop("_meta", None)
    for node_id in sorted({*theirs, *ours}, key=int):
        mine, editors = ours.get(node_id), theirs.get(node_id)
        known = {} if editors is None or mine is None else {k: editors["inputs"].get(k) for k in mine["inputs"]}
        if mine is None or editors is None or known != mine["inputs"]:
            raise SystemExit(f"{name}, node {node_id}: the editor queues\n{editors}\nbut the converter says\n{mine}")


def open_workflow(page: Page, name: str) -> dict:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    page.evaluate("([workflow, name]) => app.loadGraphData(workflow, true, true, name)", [workflow, name])
    page.wait_for_timeout(1500)
    return workflow


def run(page: Page, client: ComfyClient) -> None:
    """Presses Run, and waits until results and previews are there."""
    page.evaluate("app.queuePrompt(0)")
    page.wait_for_timeout(1000)
    while any(client.json("/queue").values()):
        page.wait_for_timeout(200)
    for done in client.json("/history").values():
        if done["status"]["status_str"] != "success":
            raise SystemExit(json.dumps(done["status"], indent=1))
    page.wait_for_timeout(2500)  # the previews load


def fit(page: Page) -> None:
    """A window of the graph's own proportions, the whole graph in it."""
    measured = page.evaluate(FIT, [MARGIN, 0, 0])
    (width, height), (x, y, *_) = measured["graph"], measured["canvas"]
    page.set_viewport_size({"width": round(x + 1500), "height": round(y + 1500 * height / width)})
    page.wait_for_timeout(500)
    page.evaluate(FIT, [MARGIN, 0, 0])
    page.mouse.move(2, 2)
    page.wait_for_timeout(1000)


def screenshot(page: Page, selector: str) -> Image.Image:
    """What is seen in the place of that element."""
    place = page.evaluate(
        "selector => { const b = document.querySelector(selector).getBoundingClientRect();"
        "return {x: b.x, y: b.y, width: b.width, height: b.height} }",
        selector,
    )
    return Image.open(io.BytesIO(page.screenshot(clip=place))).convert("RGB")


def keep(picture: Image.Image, place: Path) -> None:
    small = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    small.save(place, quality=QUALITY, optimize=True)
    print(f"{place.name}: {small.width}x{small.height}, {place.stat().st_size // 1024} KB")


if __name__ == "__main__":
    sys.exit(main())
