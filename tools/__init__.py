"""What builds the documentation: its picture and its site. Not part of the installed package."""
