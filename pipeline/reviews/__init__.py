"""What a person says of a character sheet's views: kept, rejected, with a note."""
