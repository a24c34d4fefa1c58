"""Forms check the shape of what was sent; whether it is true, the domain knows. One module per audience."""
