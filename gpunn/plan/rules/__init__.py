"""The rules of fusion, a file each: a function that changes a graph and yields a `Note` for each place it looked at."""
