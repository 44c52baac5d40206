"""The home base: what the vehicles recorded becomes trips, tables and a map, in one folder.

Everything but the landing is a pure function of the landing::

    FOLDER/
      lock                               flock of the process that receives; its pid
      landing/kafka/TOPIC~ID/PARTITION-FIRST-NEXT.lines      offsets: the name is the commit
      landing/http/DEVICE-INSTALLATION-FIRST-LAST-HASH.lines  numbers: the name is the content
      landing/polled/SOURCE/NAME.lines                        from `sources:`
      landing/index.jsonl                what each segment holds; made anew if it is missing
      days/YYYY-MM-DD/{points,legs,stops,runs,minutes}.parquet and `built`, by UTC day;
      days/no-time/…                     records that wait for a time
      tables/NAME.parquet                what polled tables become; a view of that name
      alerts/…                           outbox and last states of the alerts

A segment never changes once it has its name: it is written under a name with a dot in front,
flushed, renamed, and the folder flushed. A line is one of three kinds, see `home.lines`.
"""

__version__ = "0.1.0"
