<?php

declare(strict_types=1);

namespace App\Repository;

use App\Entity\User;
use App\Entity\{Group, Role as UserRole};
use function App\Support\normalise;
use const App\Support\LIMIT;

require_once __DIR__ . '/../bootstrap.php';
include 'helpers.php';

const PAGE_SIZE = 25;
define('APP_DEBUG', false);

/**
 * Where users come from.
 */
interface UserSource extends \Countable
{
    public function find(int $id): ?User;
}

trait Cached
{
    private array $cache = [];

    protected function remember(string $key, callable $make): mixed
    {
        return $this->cache[$key] ??= $make();
    }
}

enum Status: string
{
    case Active = 'active';
    case Locked = 'locked';

    const DEFAULT = self::Active;

    public function label(): string
    {
        return match ($this) {
            self::Active => 'may log in',
            self::Locked => 'may not',
        };
    }
}

/**
 * Users in a database.
 *
 * @template T of User
 */
#[Service(lazy: true)]
final class UserRepository implements UserSource
{
    use Cached;

    public const TABLE = 'users';
    private static ?self $instance = null;

    public function __construct(
        private readonly \PDO $database,
        protected int $limit = LIMIT,
    ) {
    }

    // Not by name: names change.
    #[\Override]
    public function find(int $id): ?User
    {
        return $this->remember("user:$id", function () use ($id): ?User {
            $row = $this->database->query(<<<SQL
                SELECT * FROM users WHERE id = {$id}
                SQL)->fetch();
            return $row ? User::fromRow($row) : null;
        });
    }

    public static function instance(): static
    {
        return self::$instance ??= new static(connect());
    }

    abstract protected function count(): int;
}

function connect(string $dsn = 'sqlite::memory:'): \PDO
{
    $log = fn (string $line) => normalise($line);
    return new class($dsn) extends \PDO {
        public function ping(): bool { return true; }
    };
}

if (!function_exists('str_squish')) {
    function str_squish(string $value): string { return trim($value); }
}
?>
<h1><?= connect()->ping() ? 'up' : 'down' ?></h1>
