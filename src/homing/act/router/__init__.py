"""Router: one address, named routes.

router        Router
routes        a router's options, routes, requests and errors
route_keeper  the table of routes, and their processes
"""
