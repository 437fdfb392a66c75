#pragma once

#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::comm {

/// Agreement on errors. If any rank passes ok = false, all ranks throw the same Error, with `code`
/// and `what` of the lowest rank that failed. Collective. Cost: one all-reduce where none failed.
void agree_or_throw(const Communicator& comm, bool ok, ExitCode code, std::string_view what);

/// Runs `body` on every rank and returns its result; where it threw on some ranks, all ranks throw
/// together, as agree_or_throw() does (MemoryError for std::bad_alloc). Anything that can fail on
/// one rank alone (files, memory, LAPACK's info) is called through it. `body` must not communicate.
/// Collective. Cost: one all-reduce.
template <class Body>
auto together(const Communicator& comm, Body&& body) {
  bool ok = true;
  ExitCode code = ExitCode::failed;
  std::string what;
  auto guarded = [&](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      ok = false, code = error.code(), what = error.what();
    } catch (const std::bad_alloc&) {
      ok = false, code = ExitCode::out_of_memory, what = "out of memory";
    } catch (const std::length_error&) {  // more elements than there are addresses
      ok = false, code = ExitCode::out_of_memory, what = "out of memory";
    } catch (const std::exception& error) {
      ok = false, what = error.what();
    }
  };
  if constexpr (std::is_void_v<decltype(body())>) {
    guarded([&] { body(); });
    agree_or_throw(comm, ok, code, what);
  } else {
    std::optional<decltype(body())> result;
    guarded([&] { result.emplace(body()); });
    agree_or_throw(comm, ok, code, what);
    return std::move(*result);
  }
}

}  // namespace mercer::comm
