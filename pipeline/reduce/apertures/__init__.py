"""What do the spectra of declared apertures say: fluxes, velocities, widths, limits?"""
