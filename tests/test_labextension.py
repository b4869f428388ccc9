"""The JupyterLab extension is in the wheel, and JupyterLab takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from hatchling.builders.wheel import WheelBuilder

from glm_magic import __version__

ROOT = Path(__file__).parents[1]


def test_the_wheel_installs_the_extension(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as files:
        names = {name.partition(".data/")[2] for name in files.namelist() if ".data/" in name}
        inside = {name for name in files.namelist() if name.startswith("glm_magic/")}
    installed = {name.removeprefix("data/share/jupyter/labextensions/glm_magic/") for name in names}
    assert installed == {"package.json", "install.json", "static/remoteEntry.js"}
    assert {"glm_magic/display/page/knobs.js", "glm_magic/display/page/controls.css"} <= inside


def test_jupyterlab_lists_the_extension_as_ok(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "labextensions"
    folder.mkdir(parents=True)
    (folder / "glm_magic").symlink_to(ROOT / "labextension")
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"],
        env={**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "data"), "JUPYTER_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in (listed.stdout + listed.stderr).splitlines() if "glm_magic" in line]
    assert "enabled" in line
    assert "OK" in line


def test_the_extension_has_the_version_of_the_package() -> None:
    assert json.loads((ROOT / "labextension" / "package.json").read_text())["version"] == __version__
