"""HTTP: metrics, health, the API and the web page, served on a thread of their own. Needs the extra `http`.

start         `start_http`; options: its options, and the token
server        HTTPServer: socket, thread, end
connections   one connection, bounded in time and size
guard         the checks of each request: limits, Host, Origin, token
endpoints     the answers; probes: health as the server sees it; answers: responses as JSON; static: the files of the
              page; openapi: describes the API
exposition    metrics for Prometheus
bridge        asks the node's loop, from the server's thread
"""
