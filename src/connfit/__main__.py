"""`python -m connfit` is the command line."""

from connfit.cli import main

if __name__ == "__main__":
    main()
