"""What pytest tests run trials with: experiments as items, fixtures, and properties."""
