"""What a run came to, as pictures and one page."""
