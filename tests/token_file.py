# SPDX-License-Identifier: Apache-2.0
"""A server's token file, as an operator keeps it."""
import hashlib


class TokenFile:
    """`tokens` are by name; `write` replaces the file."""

    def __init__(self, path):
        self.path = path
        self.entries = {}

    def add(self, name, *roles, **fields):
        """Returns the new token. Fields are those of the file, as TOML."""
        token = f"token-of-{name}"
        lines = ["[[token]]", f'name = "{name}"', f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"',
                 f"roles = [{', '.join(repr(role) for role in roles)}]"]
        self.entries[name] = "\n".join(lines + [f"{field} = {value}" for field, value in fields.items()]) + "\n"
        self.write()
        return token

    def remove(self, name):
        del self.entries[name]
        self.write()

    def write(self):
        new = self.path.with_suffix(".new")
        new.write_text("\n".join(self.entries.values()))
        new.rename(self.path)
