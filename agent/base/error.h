// SPDX-License-Identifier: Apache-2.0
// One error type and one result type for the whole agent. Errors are values; exceptions of libraries stop in
// the file that calls them. A message reads "what: context: cause", and names the object and field it is
// about.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace fairlead {

// What the receiver of an error can do about it.
enum class ErrorKind {
  kInvalid,      // the input is wrong: refuse this object, go on with the rest
  kNotFound,     // it is not there
  kExhausted,    // a capacity is used up: the object waits, the others stand
  kUnavailable,  // a peer or the kernel did not answer: try again later
  kUnsupported,  // this kernel or tool cannot do it: take the next best thing
  kInternal,     // a promise of ours is broken
};

struct [[nodiscard]] Error {
  ErrorKind kind = ErrorKind::kInternal;
  int code = 0;  // errno, or 0 where none applies
  std::string message;

  // The same error, one level up: "context: message".
  Error In(std::string_view context) && {
    message = fmt::format("{}: {}", context, message);
    return std::move(*this);
  }
};

template <typename T = void>
using Result = std::expected<T, Error>;

using Unexpected = std::unexpected<Error>;

template <typename... Args>
Unexpected Fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return Unexpected(Error{kind, 0, fmt::format(format, std::forward<Args>(args)...)});
}

// An error from a system call: appends strerror(errno_value).
template <typename... Args>
Unexpected FailErrno(int errno_value, fmt::format_string<Args...> format, Args&&... args) {
  ErrorKind kind = errno_value == ENOENT                           ? ErrorKind::kNotFound
                   : errno_value == E2BIG || errno_value == ENOSPC ? ErrorKind::kExhausted
                   : errno_value == EOPNOTSUPP                     ? ErrorKind::kUnsupported
                                                                   : ErrorKind::kUnavailable;
  return Unexpected(Error{
      kind, errno_value,
      fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), ::strerror(errno_value))});
}

}  // namespace fairlead
