"""How an equilibrium responds to its controls: θ_c and M."""
