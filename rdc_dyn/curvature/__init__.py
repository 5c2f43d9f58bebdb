"""∇J and its derivatives: the kept graph, products with A, Gauss-Newton and Kronecker factors."""
