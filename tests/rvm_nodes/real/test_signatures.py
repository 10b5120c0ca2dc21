"""The stand-in for ComfyUI (fake_comfy.USES) against the real thing: what the nodes call is there and takes it."""

import json
import subprocess

from patience import PATIENCE

from .. import fake_comfy
from .comfy_server import HERE

# Runs in ComfyUI's interpreter: reads [module, name, positional, keywords] from stdin, prints what does not fit.
CHECK = """
import importlib, inspect, json, sys
sys.path.insert(0, sys.argv[-1])
sys.argv = [sys.argv[0], "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
wrong = []
for module, name, positional, keywords in json.load(sys.stdin):
    try:
        thing = importlib.import_module(module)
        for part in name.split("."):
            thing = getattr(thing, part)
        inspect.signature(thing).bind(*[None] * positional, **dict.fromkeys(keywords))
    except (ImportError, AttributeError, TypeError) as error:
        wrong.append(f"{module}.{name}: {error}")
print("WRONG", json.dumps(wrong))
"""


def test_what_the_nodes_call_is_there(installation, tmp_path):
    script = tmp_path / "check.py"
    script.write_text(CHECK, encoding="utf-8")
    uses = [[*where, *how] for where, how in fake_comfy.USES.items()]
    assert len(uses) > 10
    # Through the launcher: some of ComfyUI's modules import torchvision.
    command = [installation.python, str(HERE / "start_comfyui.py"), str(script), str(installation.checkout)]
    done = subprocess.run(
        command, input=json.dumps(uses), capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("WRONG ")]
    assert answers, done.stderr
    assert json.loads(answers[0].removeprefix("WRONG ")) == []
