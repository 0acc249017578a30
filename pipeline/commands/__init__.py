"""What does each command do that is typed beside a run: fits, shocks, cubes of radio telescopes?"""
