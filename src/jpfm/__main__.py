"""`python -m jpfm`, the form that torchrun and srun start."""

from jpfm.cli.cli import main

if __name__ == "__main__":
    main()
