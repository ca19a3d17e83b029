# frozen_string_literal: true

require "erb"
require_relative "mailer/template"
load "config/mail.rb"

module Post
  VERSION = "1.2.0"
  Address = Struct.new(:name, :host) do
    def to_s = "#{name}@#{host}"
  end

  class Error < StandardError; end

  # Raised when a server says no.
  class Refused < Error
    attr_reader :code

    def initialize(code, message = nil)
      @code = code
      super(message || "refused with #{code}")
    end
  end

  # Sends mail.
  #
  # It keeps no connection open.
  class Mailer
    include Comparable
    extend Forwardable

    LIMIT = 10 * 1024
    DEFAULTS = { host: "localhost", port: 25 }.freeze

    def_delegators :@queue, :size, :empty?
    alias_method :deliver!, :deliver
    alias post deliver

    class << self
      # A mailer that writes to a file.
      def to_file(path, **options)
        new(File.open(path, "a"), **options)
      end

      private

      def secret = 42
    end

    def self.open(host = DEFAULTS[:host], &block)
      mailer = new(host)
      block ? yield(mailer) : mailer
    end

    # Sends one message.
    def deliver(to:, subject:, body: <<~TEXT, **headers)
      Hello #{to},
      def not_a_method
      end
    TEXT
      raise Refused.new(550) unless valid?(to)

      @queue << Template.render(subject, body)
    rescue IOError => error
      retry if (tries += 1) < 3
      raise
    ensure
      @queue.flush
    end

    def valid?(address) = address.match?(/\A[^@\s]+@[^@\s]+\z/)

    def <=>(other)
      size <=> other.size
    end

    def []=(name, value)
      headers[name] = value
    end

    define_method(:reset) { @queue.clear }

    private

    attr_accessor :queue

    def headers
      @headers ||= Hash.new { |hash, key| hash[key] = [] }
    end
  end
end

class Post::Archive < Post::Mailer
  scope :recent, -> { where("sent_at > ?", 1.day.ago) }

  def each(&) = @entries.each(&)
end

def mail(...) = Post::Mailer.open(...)
