"""What can be typed after ``rbh1-release``? A module for a verb, or for verbs that go together."""
