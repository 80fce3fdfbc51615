"""Medians, ratios to sshlua, and tables in Markdown. Knows nothing of how it was measured."""
import statistics

BASE = "sshlua"
NONE = "–"


def medians(results):
    """Name -> [named tuples] to name -> {field: median}, for names that have any."""
    return {name: {field: statistics.median(getattr(sample, field) for sample in samples)
                   for field in samples[0]._fields}
            for name, samples in results.items() if samples}


def number(value):
    if value is None:
        return NONE
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(base, value):
    return number(base / value if base is not None and value else None)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def usage_table(found, runs, unit=None):
    """found: medians of wall, cpu, rss and, if there is a unit, each (CPU ms for one).

    Ratios are sshlua's figure over the peer's: below 1 means that sshlua takes less.
    """
    head = ["peer", "runs", "CPU s", "wall s", "peak RSS MiB",
            "CPU sshlua/peer", "wall sshlua/peer", "RSS sshlua/peer"]
    if unit:
        head.insert(3, f"CPU ms/{unit}")
    base = found.get(BASE, {})
    rows = []
    for name, of in found.items():
        row = [name, str(len(runs[name])), f"{of['cpu']:.3f}", f"{of['wall']:.3f}",
               number(of["rss"] / 1024)]
        if unit:
            row.insert(3, number(of["each"]))
        rows.append(row + [ratio(base.get(field), of[field]) for field in ("cpu", "wall", "rss")])
    return table(head, rows)


def idle_table(found, runs, count):
    head = ["peer", "runs", "RSS MiB: 0 open", f"{count // 2} open", f"{count} open",
            "PSS MiB", "RSS KiB/session", "PSS KiB/session", "CPU ms/session",
            "KiB (PSS) sshlua/peer"]
    columns = ("rss_none", "rss_half", "rss_all", "pss_all", "rss_each", "pss_each", "each")
    base = found.get(BASE, {}).get("pss_each")
    rows = [[name, str(len(runs[name]))] + [number(of[field]) for field in columns] +
            [ratio(base, of["pss_each"])] for name, of in found.items()]
    return table(head, rows)
