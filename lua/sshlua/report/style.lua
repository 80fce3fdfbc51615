--- How the report looks: by day and by night, on paper, on a narrow screen. Text only.

return [[
:root{color-scheme:light dark;--fg:#1c2024;--bg:#fff;--soft:#687076;--line:#dfe3e6;--card:#f8f9fa;--ok:#1a7f37;
--bad:#c62828;--warn:#9a6700;--queue:#cbd2d9;--dns:#8e6bbf;--tcp:#3b82c4;--kex:#2a9d8f;--auth:#e9a23b;--exec:#4c72b0;
--transfer:#b5651d}
@media (prefers-color-scheme:dark){:root{--fg:#e6e8ea;--bg:#14171a;--soft:#9ba1a6;--line:#2b3035;--card:#1c2024;
--ok:#4cc38a;--bad:#ff6b63;--warn:#f5b83d;--queue:#4a5157;--dns:#b197e0;--tcp:#64a8e8;--kex:#54c7b8;--auth:#f2be6a;
--exec:#7f9fd6;--transfer:#d99058}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1.5rem;font:15px/1.5 system-ui,sans-serif;color:var(--fg);
background:var(--bg)}
h1{font:600 1.15rem/1.4 ui-monospace,monospace;margin:0 0 .4rem;overflow-wrap:anywhere}
h1,td.wide div{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden}
td.wide div{-webkit-line-clamp:2}h2{font-size:1.05rem;margin:2rem 0 .6rem}
p{margin:.2rem 0}.soft{color:var(--soft)}.ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top;white-space:nowrap}td.wide{white-space:normal;overflow-wrap:anywhere;min-width:16rem;width:60%}
tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:500;position:sticky;top:0;
background:var(--bg);box-shadow:inset 0 -1px var(--line)}.n{text-align:right;font-variant-numeric:tabular-nums}
.tall{max-height:36rem;overflow-y:auto}
pre{margin:0;padding:.6rem .8rem;overflow:auto;max-height:30rem;font:13px/1.45 ui-monospace,monospace}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;background:var(--card)}
summary{padding:.4rem .8rem;cursor:pointer;overflow-wrap:anywhere}
svg{display:block;min-width:40rem}svg text{font:12px system-ui,sans-serif;fill:var(--fg)}
svg .bad{fill:var(--bad)}svg .grid{stroke:var(--line)}svg .axis{fill:var(--soft)}
.key span{white-space:nowrap;margin-right:1em;display:inline-block}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.3em}
@media(max-width:40rem){body{padding:.8rem}td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:6rem}}
@media print{body{max-width:none}pre,.tall{max-height:none}}
]]
