"""`python -m glpn_cli` is the same program as `glpn`."""

from glpn_cli.cli import main

if __name__ == "__main__":
    main()
