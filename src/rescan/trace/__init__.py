"""Where results come from: what each step read and wrote, with which code; and whether it is still so."""
