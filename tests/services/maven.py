"""Jars of Java services and tools, fetched by Maven once and kept from run to run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.service import Missing, cache_folder, require_command

_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>onepipe.tests</groupId><artifactId>{name}</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY: Final = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


def jars(name: str, artifacts: Sequence[str]) -> Path:
    """The folder of some artifacts' jars and of all they depend on.

    Args:
        name: of the folder; another one for other artifacts.
        artifacts: each as "group:artifact:version".

    Raises:
        Missing: they are not there, and Maven cannot fetch them.
    """
    folder = cache_folder(name)
    if not folder.exists():
        maven = require_command("mvn", "Maven")
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix=f"{name}-{uuid.uuid4().hex}", dir=folder.parent))
        try:
            dependencies = "".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
            (fetched / "pom.xml").write_text(_POM.format(name=name, dependencies=dependencies))
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fetched / 'jars'}"]
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(fetched / "pom.xml"), *goal], capture_output=True, check=False
            )
            if done.returncode:
                raise Missing(f"Maven could not fetch the jars of {name}: {done.stdout.decode()[-500:]}")
            with contextlib.suppress(OSError):  # another run was faster
                os.rename(fetched / "jars", folder)  # noqa: PTH104 - must fail where the folder exists
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
    return folder
