"""The SMT solver Bitwuzla as the program that yosys-smtbmc looks for: its wheel is a library only. Reads SMT-LIB 2 from standard input."""

import sys

__all__ = ["main"]

HELP = "usage: bitwuzla [--lang smt2]"
"""yosys-smtbmc takes a Bitwuzla whose help names --lang for one that solves incrementally."""


def main() -> int:
    """Obey the commands on standard input until it ends; returns the exit status."""
    if "--help" in sys.argv:
        print(HELP)
        return 0
    import bitwuzla

    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    bitwuzla.Parser(bitwuzla.TermManager(), options).parse("<stdin>", False, True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
