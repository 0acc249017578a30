"""What does taking one pointing off the other do to the wake, and what do other backgrounds do?"""
