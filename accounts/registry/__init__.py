"""Whether a business goes on: asked at the tax office by its registration number, behind `interface.BusinessRegistry`."""
