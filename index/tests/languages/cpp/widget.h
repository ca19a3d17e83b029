#pragma once

#include <memory>
#include <string>
#include "geometry/point.hpp"

namespace ui {
namespace detail {
struct Secret;
}

/// How a widget is laid out.
enum class Layout : unsigned char { Row, Column };

/// Anything that can be drawn.
class Widget : public std::enable_shared_from_this<Widget> {
public:
    explicit Widget(std::string name);
    virtual ~Widget() = default;

    Widget(const Widget&) = delete;
    Widget& operator=(const Widget&) = delete;

    /// Draws it and what is in it.
    virtual void draw(Canvas& canvas) const = 0;

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    template <typename Visitor>
    void visit(Visitor&& visitor) {
        visitor(*this);
    }

    bool operator==(const Widget& other) const;
    operator bool() const { return !name_.empty(); }

protected:
    struct Style {
        int width = 0;
    };

private:
    std::string name_;
    std::unique_ptr<detail::Secret> secret_;
    static int count_;
};

using WidgetPtr = std::shared_ptr<Widget>;

template <class T>
concept Drawable = requires(T t, Canvas& c) { t.draw(c); };

inline constexpr int kMaxDepth = 16;

}  // namespace ui
