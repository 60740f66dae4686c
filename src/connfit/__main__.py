"""`connfit`, and `python -m connfit`: the command line."""

from connfit._system.pages import restart_with_huge_pages


def main() -> None:
    """Run the command line; import what takes time only once the process is as it should be."""
    restart_with_huge_pages()
    from connfit.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
