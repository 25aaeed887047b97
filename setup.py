"""Compile the native kernel at installation if there is a C++ compiler; all other settings are in pyproject.toml.

The library is loaded with ctypes and does not use Python's C API, so one wheel serves every Python version. It needs
only the headers of XLA's foreign function interface, which jaxlib ships. The build requires the oldest jaxlib that the
package supports, because a library built for an older jaxlib runs with a newer one, but not the reverse.

JAX_LSTM_NATIVE=0 skips the library; JAX_LSTM_NATIVE=1 makes a failed compilation an error.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

WANTED = os.environ.get("JAX_LSTM_NATIVE")
FOLDER = Path("jax_lstm", "kernels", "fused", "cpu")
FLAGS = ["-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-fno-math-errno", "-Wno-return-type", "-Wno-sign-compare"]


def headers() -> list[str]:
    """The include folder of jaxlib, found without importing it."""
    spec = find_spec("jaxlib")
    return [str(Path(folder, "include")) for folder in (spec and spec.submodule_search_locations) or []]


class BuildLibrary(build_ext):
    """Builds a plain shared library, compiling its files in parallel; if that fails, warns and goes on."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"

    def get_export_symbols(self, ext: Any) -> list[str]:
        return ext.export_symbols

    def build_extension(self, ext: Any) -> None:
        def compile_one(source: str) -> list[str]:
            return self.compiler.compile(
                [source], self.build_temp, include_dirs=ext.include_dirs, extra_postargs=FLAGS, depends=ext.depends
            )

        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = [name for names in pool.map(compile_one, ext.sources) for name in names]
            self.compiler.link_shared_object(objects, self.get_ext_fullpath(ext.name), target_lang="c++")
        except Exception as error:  # compilers fail in many ways
            if not ext.optional:
                raise
            self.warn(f"jax-lstm is installed without its native kernel, which did not compile: {error}")

    def get_outputs(self) -> list[str]:
        return [name for name in super().get_outputs() if os.path.exists(name)]


class TagWheel(bdist_wheel):
    """Tags one wheel for all Python versions: for this platform with the library, for any without."""

    def get_tag(self) -> tuple[str, str, str]:
        built = any(Path(self.bdist_dir or ".").glob(f"**/{FOLDER}/_native.so"))
        return "py3", "none", super().get_tag()[2] if built else "any"


extensions = [
    Extension(
        "jax_lstm.kernels.fused.cpu._native",
        sorted(str(path) for path in FOLDER.glob("*.cc")),
        include_dirs=headers(),
        depends=sorted(str(path) for path in FOLDER.glob("*.h")),
        language="c++",
        optional=WANTED != "1",
    )
]
setup(
    ext_modules=[] if WANTED == "0" else extensions,
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": TagWheel},
)
