"""What answers other programs and browsers: the API and the pages over the release."""
