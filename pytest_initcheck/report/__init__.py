"""A Report and its renderings. PYTEST_DONT_REWRITE"""
