"""What the operating system is asked for: pages of 2 MB, and memory given back."""
