# SPDX-License-Identifier: Apache-2.0
"""Writes the bill of materials and the list of licences. Run by scripts/sbom."""

import argparse
import pathlib
import sys
import tomllib

import crates
import debian_packages
import python_packages
from component import Component
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as CycloneDxComponent
from cyclonedx.model.component import ComponentType
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from licences import is_allowed
from packageurl import PackageURL


def product_version() -> str:
    return tomllib.loads(pathlib.Path("client/python/pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def collect(build_dir: pathlib.Path) -> list[Component]:
    found = crates.components("server")
    for part, program in (("server", "prefscore-server"), ("command line", "prefscore")):
        packages, elsewhere = debian_packages.components(part, build_dir / program)
        found |= packages | python_packages.of_libraries(part, elsewhere)
    project = tomllib.loads(pathlib.Path("client/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(found | python_packages.of_requirements("Python client", project["dependencies"]))


def cyclonedx(components: list[Component]) -> str:
    factory = LicenseFactory()
    bom = Bom()
    root = CycloneDxComponent(name="prefscore", version=product_version(), type=ComponentType.APPLICATION,
                              licenses=[factory.make_from_string("Apache-2.0")], bom_ref="prefscore")
    bom.metadata.component = root
    parts = {}
    for component in components:  # one entry for what several parts share
        parts.setdefault(component.purl, (component, []))[1].append(component.part)
    entries = []
    for purl, (component, names) in parts.items():
        licence = factory.make_from_string(component.licence)
        entries.append(CycloneDxComponent(
            name=component.name, version=component.version, type=ComponentType.LIBRARY, licenses=[licence],
            purl=PackageURL.from_string(purl), bom_ref=purl,
            description="; ".join([*names, component.note]).strip("; ")))
    bom.components.update(entries)
    bom.register_dependency(root, entries)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def licence_list(components: list[Component]) -> str:
    lines = []
    for part in sorted({component.part for component in components}):
        lines += [part, "=" * len(part)]
        for component in components:
            if component.part == part:
                note = f"  ({component.note})" if component.note else ""
                lines.append(f"{component.name:<32} {component.version:<28} {component.licence}{note}")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    components = collect(arguments.build_dir)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "prefscore.cdx.json").write_text(cyclonedx(components), encoding="utf-8")
    (arguments.output / "LICENCES.txt").write_text(licence_list(components), encoding="utf-8")
    refused = [component for component in components if not is_allowed(component.name, component.licence)]
    for component in refused:
        print(f"[sbom] {component.name} {component.version}: its licence '{component.licence}' is not on the list in "
              "scripts/lib/sbom/licences.py", file=sys.stderr)
    print(f"[sbom] {len(components)} components in {arguments.output}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
