"""What a person starts and sees in a terminal: whole sessions, with or without the control room, and their results."""
