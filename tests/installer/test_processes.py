"""Programs run quietly."""

import os
import sys
from pathlib import Path

from rvm_studio.installer import processes

ROOT = Path(__file__).resolve().parents[2]


def test_output_is_quiet_but_for_large_downloads(capsys):
    lines = ["Collecting torch", "  Downloading https://host/a/torch-2.13.0-cp311.whl (191.8 MB)", "",
             "Downloading tiny.whl (78 kB)"]  # fmt: skip
    code = f"import sys; print({chr(10).join(lines)!r}, flush=True); print('end', file=sys.stderr); sys.exit(7)"
    pattern = r"Downloading (?:\S*/)?(\S+ \(\d+\.\d+ [MG]B\))"
    assert pattern in (ROOT / "installer" / "pip.py").read_text(encoding="utf-8")
    returned, last = processes.run_quietly([sys.executable, "-c", code], os.environ, show=pattern)
    assert returned == 7
    assert last[-1] == "end"
    assert capsys.readouterr().out.strip() == "downloading torch-2.13.0-cp311.whl (191.8 MB)"
