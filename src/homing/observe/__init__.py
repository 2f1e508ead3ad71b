"""Facts about a running node, and their faces.

observer          Observer: answers requests about a node; the tables of requests and streams
records           the records of the answers: one schema for all faces
node_requests, process_requests, socket_requests, tcp_requests, tree, health, measuring  the handlers of requests
cluster_requests  the other nodes of the cluster; clustered: requests that all of them answer
http              HTTP: metrics, health, the API, the web page
traces            traces of single messages, and the stream `trace`; otel: spans of OpenTelemetry
per_node          objects that all observers of a node share
rows              the records of processes and meta-processes
watching          the stream `watch`; changes: the requests that change the node; option_values: options from texts
taps              the request `tap`
inspecting        asks processes for the facts that only they know
selecting         the first rows of a large table, in portions
sampler           samples of counters: rates and ages; ages: of messages; histogram: of times
drops             drops of datagrams by cause; dtls_sums: the counters of DTLS
targets           the one way to name a process; fields: the fields of a request, and their limits
plain             values of programs as JSON
refusals          RequestRefused; encoding: JSON of large answers
control           the control socket
merged            MergedObserver: several nodes as one; merging: their answers; merged_streams: their streams
logs              the log: formats, the last records, streams of records, levels
"""

from .control.server import open_control as open_control
from .http.server import HTTPServer as HTTPServer
from .http.start import start_http as start_http
from .observer import Observer as Observer
from .observer import answer_cluster as answer_cluster
from .refusals import RequestRefused as RequestRefused
from .traces import TraceStream as TraceStream
from .traces import trace as trace

__all__ = [
    "HTTPServer",
    "Observer",
    "RequestRefused",
    "TraceStream",
    "answer_cluster",
    "open_control",
    "start_http",
    "trace",
]


def __dir__() -> list[str]:
    return __all__
