# SPDX-License-Identifier: Apache-2.0
"""The table of kinds.  A kind is a function that fills one Output."""

#: name -> Kind, in the order the modules declare them.
KINDS = {}


class Kind:
    def __init__(self, name, about, make, big):
        self.name, self.about, self.make, self.big = name, about, make, big


def kind(name, about, big=False):
    """Register a kind.  Big kinds are left out of --all."""
    def register(make):
        if name in KINDS:
            raise ValueError(f"kind {name} declared twice")
        KINDS[name] = Kind(name, about, make, big)
        return make
    return register


def variant(name, about, make, **options):
    """Register `make` again under another name with fixed options."""
    kind(name, about)(lambda out: make(out, **options))
