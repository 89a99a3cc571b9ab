# SPDX-License-Identifier: Apache-2.0
"""What a bill of materials lists."""

import dataclasses


@dataclasses.dataclass(frozen=True, order=True)
class Component:
    part: str  # of the product it belongs to: "server", "command line", "Python client"
    ecosystem: str  # "deb" | "cargo" | "pypi" | "generic"
    name: str
    version: str
    licence: str  # an SPDX expression
    note: str = ""

    @property
    def purl(self) -> str:
        namespace = "debian/" if self.ecosystem == "deb" else ""
        return f"pkg:{self.ecosystem}/{namespace}{self.name}@{self.version}"
