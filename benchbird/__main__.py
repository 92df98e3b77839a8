"""`python -m benchbird`."""

from benchbird.cli import main

if __name__ == "__main__":
    main()
