"""Chat formats: what a template makes of a conversation, and what the text of its model means."""
