// How often what a block reads would be in a cache still: for each sector the number of other lines that were read since
// its own was last. A cache of n lines that replaces what was not used for longest has just those with fewer than n
// (Mattson, Gecsei, Slutz, Traiger 1970, "Evaluation Techniques for Storage Hierarchies", IBM Systems Journal 9(2)).
#pragma once
#include <stdint.h>

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

namespace simulator {

class Reuse {
  public:
    static constexpr int SECTOR = 32, SECTORS = 4, CLASSES = 24;  // bytes of a sector, sectors of a line
    uint64_t counts[CLASSES];  // sectors that were new; then those of which 0, 1, 2 to 3, ... other lines were read since

    // Note a read of sectors of one line, as bits.
    void read(uint64_t line, uint32_t sectors) {
        if (now + 1 >= marks.size()) make_room();
        const auto found = lines.insert({line, {0, 0}});
        Line& mine = found.first->second;
        uint32_t others = 0;
        if (!found.second) {
            others = count(now) - count(mine.last);
            mark(mine.last, ~0u);
        }
        mine.last = ++now;
        mark(now, 1);
        const uint32_t known = sectors & mine.sectors;
        mine.sectors |= sectors;
        counts[0] += (uint64_t)__builtin_popcount(sectors ^ known);
        int bits = 0;
        while (others >> bits) ++bits;
        counts[std::min(1 + bits, CLASSES - 1)] += (uint64_t)__builtin_popcount(known);
    }

    void clear() {
        lines.clear();
        marks.clear();
        now = 0;
    }

  private:
    struct Line {
        uint32_t last, sectors;  // when it was last read, and which of its sectors have been
    };
    std::unordered_map<uint64_t, Line> lines;
    std::vector<uint32_t> marks;  // a tree of sums (Fenwick 1994) over the times: 1 where a line was last read
    uint32_t now = 0;

    void mark(uint32_t time, uint32_t change) {
        for (; time < marks.size(); time += time & -time) marks[time] += change;
    }

    uint32_t count(uint32_t time) const {  // marks at this time and before
        uint32_t sum = 0;
        for (; time; time &= time - 1) sum += marks[time];
        return sum;
    }

    // Number the times anew, so that only those at which a line was last read are left.
    void make_room() {
        std::vector<std::pair<uint32_t, uint64_t>> order;
        for (const auto& entry : lines) order.push_back({entry.second.last, entry.first});
        std::sort(order.begin(), order.end());
        marks.assign(std::max<size_t>(4 * (order.size() + 1), 1 << 12), 0);
        now = 0;
        for (const auto& entry : order) mark(lines[entry.second].last = ++now, 1);
    }
};

}  // namespace simulator
