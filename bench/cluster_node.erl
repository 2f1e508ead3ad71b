%% A node of the cluster benchmarks in Erlang: cluster_node.py says what each command does.
-module(cluster_node).
-export([main/0]).

-define(GROUP, 256).
-define(TICK, 5).
-define(TICK_BYTES, 16 * 1024).

main() ->
    spawn(fun run/0).  % the process that calls this one has to finish booting

run() ->
    register(sink, spawn(fun() -> sink(0) end)),
    register(ticks, spawn(fun() -> ticks(0, 0, 0, 0) end)),
    register(lag, spawn(fun() -> lag(0) end)),
    io:format("ready~n"),
    loop([], init:get_plain_arguments()).

loop(Started, Others) ->
    case io:get_line("") of
        eof -> halt(0);
        {error, _} -> halt(0);
        Line ->
            [Command | Words] = string:lexemes(Line, " \n"),
            {Numbers, Now} = command(Command, Words, Started, Others),
            io:format("~s~n", [lists:join(" ", [io_lib:format("~w", [Number]) || Number <- Numbers])]),
            loop(Now, Others)
    end.

command("join", [], Started, Others) ->
    [pong = net_adm:ping(list_to_atom(Other)) || Other <- Others],
    Parent = self(),
    spawn(fun() -> register(downs, self()), net_kernel:monitor_nodes(true), Parent ! watching, downs(#{}) end),
    receive watching -> ok end,
    {[], Started};
command("up", [Count], Started, _) ->
    wait_until(fun() -> length(nodes()) >= list_to_integer(Count) end),
    {[now_seconds()], Started};
command("count", [], Started, _) ->
    Counted = ask(sink, count),
    {[Counted, now_seconds(), cpu_seconds(), ask(lag, worst)], Started};
command("send", [Kind, To], Started, _) ->
    Target = {sink, list_to_atom(To)},
    Messages = messages(Kind),
    {[], [spawn(fun() -> source(Target, Messages) end) | Started]};
command("tick", Nodes, Started, _) ->
    Targets = [{ticks, list_to_atom(Node)} || Node <- Nodes],
    {[], [spawn(fun() -> ticker(Targets, 0, <<0:(?TICK_BYTES * 8)>>) end) | Started]};
command("stop", [], Started, _) ->
    [exit(Pid, kill) || Pid <- Started],
    {[], []};
command("gap", [], Started, _) ->
    {ask(ticks, gap), Started};
command("down", [Name], Started, _) ->
    {[ask(downs, {down, list_to_atom(Name)})], Started};
command("call", [To, Open, Seconds], Started, _) ->
    {calls({sink, list_to_atom(To)}, list_to_integer(Open), to_float(Seconds)), Started}.

now_seconds() -> os:system_time(microsecond) / 1.0e6.

%% User and system time of all threads of this OS process.
cpu_seconds() ->
    {ok, Text} = file:read_file("/proc/self/stat"),
    [_, Rest] = string:split(Text, ") ", trailing),
    Fields = string:lexemes(binary_to_list(Rest), " "),
    (list_to_integer(lists:nth(12, Fields)) + list_to_integer(lists:nth(13, Fields))) / 100.0.

to_float(Text) ->
    try list_to_float(Text) catch error:badarg -> float(list_to_integer(Text)) end.

ask(Name, Question) ->
    Name ! {Question, self()},
    receive {answer, Answer} -> Answer end.

wait_until(Condition) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(1), wait_until(Condition)
    end.

messages("typed") ->
    [{reading, list_to_binary("device-" ++ integer_to_list(N)), 20.5, 1764397000 + N, binary:copy(<<"x">>, 30)}
     || N <- lists:seq(1, ?GROUP)];
messages("bytes") ->
    [rand:bytes(64) || _ <- lists:seq(1, ?GROUP)].

sink(Count) ->
    receive
        {count, From} -> From ! {answer, Count}, sink(Count);
        {'$gen_call', From, Request} -> gen_server:reply(From, Request), sink(Count);
        _ -> sink(Count + 1)
    end.

source(To, Messages) ->
    [To ! Message || Message <- Messages],
    source(To, Messages).

ticker(Targets, Number, Payload) ->
    [To ! {tick, Number, Payload} || To <- Targets],
    timer:sleep(?TICK),
    ticker(Targets, Number + 1, Payload).

ticks(Next, At, Gap, Lost) ->
    receive
        {gap, From} -> From ! {answer, [Next, Gap, Lost]}, ticks(Next, At, Gap, Lost);
        {tick, 0, _} -> ticks(1, now_seconds(), 0.0, 0);
        {tick, Number, _} ->
            Now = now_seconds(),
            ticks(Number + 1, Now, max(Gap, Now - At), Lost + Number - Next)
    end.

lag(Worst) ->
    Before = now_seconds(),
    timer:sleep(?TICK),
    Now = max(Worst, now_seconds() - Before - ?TICK / 1000),
    receive {worst, From} -> From ! {answer, Now}, lag(0) after 0 -> lag(Now) end.

downs(Known) ->
    receive
        {nodedown, Node} -> downs(Known#{Node => now_seconds()});
        {{down, Node}, From} when is_map_key(Node, Known) ->
            From ! {answer, maps:get(Node, Known)},
            downs(maps:remove(Node, Known));
        {{down, Node}, From} ->
            receive {nodedown, Node} -> From ! {answer, now_seconds()}, downs(Known) end;
        _ -> downs(Known)
    end.

calls(To, Open, Seconds) ->
    Parent = self(),
    Began = erlang:monotonic_time(),
    Unit = erlang:convert_time_unit(1, second, native),
    Warm = Began + round(0.1 * Seconds * Unit),
    End = Began + round(1.1 * Seconds * Unit),
    [spawn_link(fun() -> Parent ! {took, caller(To, Warm, End, [])} end) || _ <- lists:seq(1, Open)],
    Took = lists:sort(lists:append([receive {took, Some} -> Some end || _ <- lists:seq(1, Open)])),
    Count = length(Took),
    [Count / Seconds, lists:nth(Count div 2 + 1, Took) / Unit, lists:nth(Count * 99 div 100 + 1, Took) / Unit].

caller(To, Warm, End, Took) ->
    Before = erlang:monotonic_time(),
    if
        Before >= End -> Took;
        true ->
            gen_server:call(To, <<"ping">>),
            More = erlang:monotonic_time() - Before,
            caller(To, Warm, End, if Before > Warm -> [More | Took]; true -> Took end)
    end.
