"""Programs for those who work on this library; nothing else imports them."""
