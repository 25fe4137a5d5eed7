"""What runs leave for people: tables, pictures, curves."""
