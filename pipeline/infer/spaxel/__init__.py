"""What is the exact posterior of velocity, width and fluxes of the lines in each spaxel?

Given velocity and width everything else is linear, and is integrated out in closed form; the two
that are left are integrated by quadrature over all that the prior allows. So draws are
independent, no mode is missed, and the evidence comes with them.
"""
