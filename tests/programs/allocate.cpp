// SPDX-License-Identifier: GPL-2.0
// Allocates as C++ programs do: small nodes of trees and tables, strings that grow, vectors that move, freed by other threads.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using Strings = std::vector<std::unique_ptr<std::string>>;

// A linear congruential generator (Knuth, MMIX): the same numbers everywhere.
struct Random {
	std::uint64_t state;
	std::uint64_t next(std::uint64_t below)
	{
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		return (state >> 33) % below;
	}
};

std::uint64_t churn(std::uint64_t seed, int rounds, Strings &out)
{
	Random random{seed};
	std::map<std::uint64_t, std::string> tree;
	std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> table;
	std::uint64_t sum = 0;
	for (int round = 0; round < rounds; round++) {
		std::uint64_t key = random.next(5000);
		tree[key].append(random.next(300) + 1, static_cast<char>('a' + key % 26));
		auto &row = table[key];
		row.resize(row.size() + random.next(200));
		if (random.next(3) == 0)
			tree.erase(random.next(5000));
		if (random.next(4) == 0)
			table.erase(random.next(5000));
		if (round % 64 == 0)
			out.push_back(std::make_unique<std::string>(random.next(1 << 18), 'x'));
		if (round % 1024 == 0)
			out.erase(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(out.size() / 2));
	}
	for (const auto &entry : tree)
		sum = sum * 31 + entry.second.size();
	std::uint64_t rows = 0;
	for (const auto &entry : table)
		rows += entry.first * entry.second.size();
	return sum ^ rows;
}

} // namespace

int main(int argc, char **argv)
{
	const int rounds = argc > 1 ? std::atoi(argv[1]) : 20000;
	std::vector<std::uint64_t> sums(4);
	std::vector<Strings> strings(4);
	std::vector<std::thread> threads;
	for (std::size_t nr = 0; nr < sums.size(); nr++)
		threads.emplace_back([&, nr] { sums[nr] = churn(nr + 1, rounds, strings[nr]); });
	for (auto &thread : threads)
		thread.join();
	for (std::size_t nr = 0; nr < sums.size(); nr++)
		std::printf("thread %zu: %016llx, %zu strings left\n", nr, static_cast<unsigned long long>(sums[nr]),
			    strings[nr].size());
	return 0;
}
