// Tries inputs of a target: mutations of its seeds, for a time or a number, or the files that are
// named. An input that does harm is left in ./fuzz-PROGRAM-PID and the program ends with a signal.
//
//   fuzz_X [--seconds 20] [--inputs N] [--seed 1] [--say] [FILES...]     FILES: of results.cpp
//   fuzz_X --replay INPUT [FILES...]                                       --say: what each is
//   answered
//
// With libFuzzer its mutations take the place of these: see libfuzzer.cpp.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <random>

#include "fuzz.hpp"
#include "mercer/base/error.hpp"
#include "mercer/comm/environment.hpp"

namespace {

std::atomic<std::size_t> most_bytes{std::numeric_limits<std::size_t>::max()};

/// Ten times the input and 100 MB are in proportion.
[[maybe_unused]] void check_proportion(std::size_t bytes) {
  if (bytes <= most_bytes) return;
  std::fprintf(stderr, "fuzz: an allocation of %zu bytes\n", bytes);
  std::abort();
}

}  // namespace

#ifndef __SANITIZE_ADDRESS__  // which has its own, and its option max_allocation_size_mb
void* operator new(std::size_t bytes) {
  check_proportion(bytes);
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  check_proportion(bytes);
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* p = std::aligned_alloc(unit, std::max(unit, (bytes + unit - 1) / unit * unit)))
    return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
#endif

namespace mercer::fuzz {

namespace {

using Clock = std::chrono::steady_clock;

bool says = false;
std::string finding;                // the file that an input is left in
std::span<const std::uint8_t> now;  // the input that is tried

extern "C" void leave(int signal) {
  const int file = ::open(finding.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0666);
  if (file >= 0) static_cast<void>(!::write(file, now.data(), now.size()));
  std::array<char, 256> line{};
  const int length =
      std::snprintf(line.data(), line.size(), "fuzz: signal %d: the input is left in %s\n", signal,
                    finding.c_str());
  static_cast<void>(!::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(length)));
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(std::span<const std::uint8_t> bytes) {
  now = bytes;
  ::alarm(20);
  most_bytes = 10 * bytes.size() + 100'000'000;
  try {
    try_input(Input(bytes));
    if (says) std::puts("taken");
  } catch (const Error& error) {  // an answer
    if (says) std::puts(error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz: %s\n", error.what());
    std::abort();
  }
  most_bytes = std::numeric_limits<std::size_t>::max();
  ::alarm(0);
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Some of: a byte changed, a bit flipped, a part cut out, doubled, moved, taken from another seed,
/// a number or a word of the seeds' put in.
std::string mutated(std::string text, const std::vector<std::string>& all,
                    std::mt19937_64& random) {
  const auto below = [&](std::size_t count) { return count > 0 ? random() % count : 0; };
  static const std::string kWords[] = {"nan",
                                       "inf",
                                       "-1",
                                       "1e999",
                                       "9223372036854775807",
                                       "\"",
                                       ",",
                                       "\n",
                                       ";",
                                       "\t",
                                       "\r\n",
                                       ":",
                                       "(",
                                       ")",
                                       "=",
                                       "0",
                                       " ",
                                       "\xff\xff\xff\xff",
                                       std::string(8, '\0'),
                                       "18446744073709551616"};
  for (auto times = 1 + below(4); times > 0; --times) {
    const auto at = below(text.size() + 1),
               length = below(std::min<std::size_t>(16, text.size() - at) + 1);
    switch (below(8)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << below(8));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(at, length));
        break;
      case 4:
        text.insert(at, text.substr(below(text.size() + 1), length));
        break;
      case 5: {
        const auto& other = all[below(all.size())];
        text.insert(at, other.substr(below(other.size() + 1), below(64)));
        break;
      }
      case 6:
        text.insert(at, kWords[below(std::size(kWords))]);
        break;
      default:
        text.resize(at);
    }
  }
  if (text.size() > 100000) text.resize(100000);
  return text;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int loop(int argc, char** argv) {
  double seconds = 20;
  std::uint64_t inputs = std::numeric_limits<std::uint64_t>::max(), seed = 1;
  std::vector<std::string> files, replayed;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--say")
      says = true;
    else if (word == "--replay" && i + 1 < argc)
      replayed.push_back(contents(argv[++i]));
    else if (word == "--seconds" && i + 1 < argc)
      seconds = std::stod(argv[++i]);
    else if (word == "--inputs" && i + 1 < argc)
      inputs = std::stoull(argv[++i]), seconds = 1e9;
    else if (word == "--seed" && i + 1 < argc)
      seed = std::stoull(argv[++i]);
    else
      files.push_back(word);
  }
  finding = "fuzz-" + std::filesystem::path(argv[0]).filename().string() + "-" +
            std::to_string(::getpid());
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    ::signal(signal, leave);
  const auto seeded = seeds(files);
  const auto& corpus = replayed.empty() ? seeded : replayed;
  std::uint64_t tried = 0;
  for (const auto& input : corpus) run(bytes_of(input)), ++tried;
  std::mt19937_64 random(seed);
  const auto began = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  while (replayed.empty() && tried < inputs && elapsed() < seconds) {
    const auto input = mutated(corpus[random() % corpus.size()], corpus, random);
    run(bytes_of(input));
    ++tried;
  }
  std::printf("%s: %llu inputs in %.1f s, seed %llu\n", argv[0],
              static_cast<unsigned long long>(tried), elapsed(),
              static_cast<unsigned long long>(seed));
  return 0;
}

}  // namespace
}  // namespace mercer::fuzz

int main(int argc, char** argv) {
  const mercer::comm::Environment mpi(argc, argv);
  return mercer::fuzz::loop(argc, argv);
}
